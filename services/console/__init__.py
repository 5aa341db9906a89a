"""Web pages for people: sign in, the live inbox of a rep, a first page for operations. Over the HTTP APIs."""
