"""Values of flags that have a language of their own, and the request that run and create build from them."""
