"""What an LLM may name in a sentence: its own words, and of those only what can be an answer."""

from __future__ import annotations

from llm_documents import MUSK, NOTHING, POLICE, parsed, sentence

from onward.pipelines.articles.llm.spans import SENTENCE_CHARS_MAX, candidates


def test_names_noun_phrases_and_times_of_a_sentence_are_offered():
    offered = sentence(MUSK)

    assert offered.spelled(offered.triggers) == ["told", "opened"]
    assert offered.spelled(offered.times) == ["Tuesday"]
    assert {"Elon Musk", "employees", "Tesla", "a new factory", "Austin"} <= set(offered.spelled(offered.things))
    assert "Tuesday" not in offered.spelled(offered.things)


def test_a_noun_that_names_a_happening_may_be_its_trigger():
    offered = sentence(POLICE)

    assert offered.spelled(offered.triggers) == ["arrested", "bombing"]
    assert list(zip(offered.lemmas, offered.types, strict=True)) == [("arrest", "justice"), ("bombing", "attack")]


def test_every_stretch_stands_where_it_says():
    for text in (MUSK, POLICE):
        offered = sentence(text)
        for start, end in (*offered.triggers, *offered.things, *offered.times):
            assert text[start:end].strip() == text[start:end] != ""


def test_a_stretch_neither_begins_nor_ends_with_white_space_nor_runs_over_lines():
    document = parsed("Hundreds dead\n\nThursday, January 12, 2006\n\nPolice said on Friday that many fell.")

    offered = [one for one in (candidates(document, sent) for sent in document["sentences"]) if one is not None]

    found = [document["text"][slice(*span)] for one in offered for span in (*one.things, *one.times)]
    assert "Friday" in found
    assert [one for one in found if one != one.strip() or "\n" in one] == []


def test_of_two_equal_stretches_the_nearer_one_is_meant():
    text = "The police met protesters, and the mayor praised the police."
    offered = sentence(text)
    first, second = [span for span in offered.things if text[slice(*span)].lower() == "the police"]

    assert offered.named([first, second], "the police", near=text.index("praised")) == second
    assert offered.named([(0, 3), (27, 30)], "The", near=2) == (0, 3)
    assert offered.named(offered.things, "the army", near=0) is None


def test_a_sentence_in_which_nothing_happens_and_one_of_endless_length_are_not_asked_about():
    quiet = parsed(NOTHING)
    endless = parsed("He said that " + "very " * (SENTENCE_CHARS_MAX // 5) + "good men ran")

    assert candidates(quiet, quiet["sentences"][0]) is None
    assert [candidates(endless, one) for one in endless["sentences"] if one["end"] - one["start"] > 1200] == [None]
