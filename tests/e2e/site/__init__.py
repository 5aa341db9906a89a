"""The company's own site in a real browser: `/site.js` on a site of another origin, and `/demo-site`."""
