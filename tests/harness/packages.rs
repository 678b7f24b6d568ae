//! Programs from the system's packages that tests need. One that is missing is a failed test,
//! not a skipped one.

/// Fails unless the program is installed.
pub fn need(program: &str, package: &str) {
    let folders = std::env::var("PATH").unwrap_or_default();
    let folders = format!("{folders}:/usr/sbin:/sbin");
    let found =
        folders.split(':').any(|folder| std::path::Path::new(folder).join(program).exists());
    assert!(
        found,
        "{program} is not installed: run `make packages-test`, or install the package {package}"
    );
}
