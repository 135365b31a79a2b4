"""What a person without an API key can try: a fake API and a demonstration."""
