"""What a refusal says, what may be sent next, and what is learnt from it."""
