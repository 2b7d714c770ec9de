"""Handlers, one module for each noun: parse query and body, call the verb, encode the answer."""
