"""HTTP: the watsonx wire, the OpenAI wire and our own interface over the use cases of `studio`. No SQL, no torch."""
