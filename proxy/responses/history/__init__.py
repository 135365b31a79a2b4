"""What a store remembers of requests and answers, and how it takes the place of references."""
