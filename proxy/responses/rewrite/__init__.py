"""What makes a request portable: the rules, pairing, trimming and what stands in for what is taken out."""
