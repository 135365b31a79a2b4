"""What `unpinned.testing` gives the tests of applications: servers that do not know each other's ids, and a verdict."""
