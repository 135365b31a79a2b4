"""A WebSocket on `…/responses`: its turns are made portable and its refusals recovered, all else passes as bytes."""
