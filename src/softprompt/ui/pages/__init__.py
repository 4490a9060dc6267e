"""One page a file. A page imports layout and components, never another page."""
