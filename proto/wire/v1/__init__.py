"""Version 1 of the contract. `generation.proto` is the source; `make proto` writes the rest."""
