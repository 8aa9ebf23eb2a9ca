"""Events by a language model: one question a sentence, at an endpoint of the person's choice."""
