"""`unpinned explain`: what would be sent in place of a request, and why. Offline, and without a second set of rules."""
