"""The API described to its users: an OpenAPI document of its operations, and a page of that."""
