"""The routes of the pages: a unit of work, the use cases, and a page function of `ui` that shows what came out."""
