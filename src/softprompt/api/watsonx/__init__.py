"""The watsonx wire: what IBM's own Python client asks for, answered from the studio's nouns.

One noun a file. `routes.routers` is what the application includes; nothing here is imported by the rest of the studio.
"""
