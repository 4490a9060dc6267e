"""The OpenAI wire: `/v1/models`, `/v1/completions` and `/v1/chat/completions` as the `openai` client speaks them."""
