//! A page that asks before anything is done: what it does, what of it can be undone, and why it is wanted.

use askama::Template;

use super::frame::Frame;
use super::list::Field;

/// The page.
#[derive(Template)]
#[template(path = "act.html")]
pub(super) struct AskPage {
    pub f: Frame,
    pub title: String,
    pub explains: Vec<String>,
    /// How much it touches, where that can be told.
    pub count: Option<String>,
    /// Nothing stands in the way of doing it.
    pub possible: bool,
    /// What of it can be undone.
    pub undo: String,
    pub place: String,
    pub hidden: Vec<(&'static str, String)>,
    /// What else must be said.
    pub fields: Vec<Field>,
    /// What can be ticked: its key and its text.
    pub tick: Option<(&'static str, &'static str)>,
    /// A reason is asked for, which others read later.
    pub needs_reason: bool,
    /// How long, where that can be chosen.
    pub lasts: bool,
    pub grave: bool,
    pub button: String,
    pub back: String,
}
