//! The policy of egress against providers whose rules it does not know: weeks of virtual time.
//!
//! `providers` is the world, written before the policy.

mod providers;
