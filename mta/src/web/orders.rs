//! What every order of a person has: a reason, which stands in the audit log and in the events.

use crate::admin::Problem;

use super::forms::filled;
use super::frame::Frame;

/// The reason of an order; without one it is not done.
pub(super) fn reason(f: &Frame, why: &str) -> Result<String, Problem> {
    filled(why).ok_or_else(|| Problem::question(f.t("actions.no-reason")))
}
