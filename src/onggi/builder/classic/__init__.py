"""The classic door: POST /build, whose context is the request and whose answer is a stream of JSON lines."""
