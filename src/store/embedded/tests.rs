//! What only this store has: its file, its writer, its failures.
