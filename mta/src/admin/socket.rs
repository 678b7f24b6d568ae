//! The control socket: HTTP/1.1 over a UNIX socket that the service's user alone can open.

use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use tokio::net::UnixListener;

/// Its name in `data_dir`.
pub const SOCKET: &str = "control.sock";

/// Binds the socket in `data_dir`, in place of one that a relay before left there. It is made in a
/// folder that nobody else can enter, so that there is no moment at which others could open it.
pub fn bind_socket(data_dir: &Path) -> io::Result<UnixListener> {
    let private = data_dir.join(".control");
    let _ = std::fs::remove_dir_all(&private);
    std::fs::DirBuilder::new().mode(0o700).create(&private)?;
    let made = private.join(SOCKET);
    let listener = UnixListener::bind(&made)?;
    std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&made, data_dir.join(SOCKET))?;
    std::fs::remove_dir(&private)?;
    Ok(listener)
}
