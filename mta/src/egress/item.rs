//! What egress asks of a delivery that waits.

/// A delivery, as far as egress must know.
pub trait Item {
    /// Those that still wait.
    fn recipients(&self) -> u32;

    /// The domain whose reputation it uses: that of From, or else of MAIL FROM; lower case.
    fn sending_domain(&self) -> Option<&str>;

    /// What it is part of: its first tag, or else its sender.
    fn campaign(&self) -> &str;

    /// The source that it must go from again: a greylisting server knows it from there.
    fn same_source(&self) -> Option<&str>;

    /// The source of the attempt before, which was refused.
    fn refused_source(&self) -> Option<&str>;

    /// It must not go from there again, as long as the pool has another.
    fn other_source(&self) -> bool;
}
