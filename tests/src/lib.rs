//! What only several nodes can show.
