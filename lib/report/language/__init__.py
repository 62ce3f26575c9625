"""The document in other languages: message catalogues, and a page that holds both."""
