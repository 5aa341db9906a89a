"""HTTP of notify: the inbox and its stream, the site's snippet and greetings, how fast notices arrive."""
