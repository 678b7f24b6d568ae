//! What every spool must do, whatever it is made of.
