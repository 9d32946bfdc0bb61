//! One download.
