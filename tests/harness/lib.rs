//! A small internet for tests and the demo.
