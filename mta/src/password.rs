//! Passwords of accounts and of people: hashed with argon2id, never kept.
//!
//! A hash takes 19 MiB, and allocated afresh by each of the threads that happen to compute one, so much would stay with
//! each of them: it is computed in memory that is kept.

use std::sync::{Mutex, MutexGuard, PoisonError};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, PasswordHasher, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;

/// Memory of the process: whoever computes hashes bounds how many at a time.
static MEMORY: HashMemory = HashMemory(Mutex::new(Vec::new()));

/// Whether a hash (a PHC string) is that of a password. Takes some 20 ms of a core.
pub fn is_password(password: &str, hash: &str) -> bool {
    MEMORY.is_right(password, hash)
}

/// As many pieces as hashes were ever computed at a time.
#[derive(Debug, Default)]
struct HashMemory(Mutex<Vec<Vec<Block>>>);

impl HashMemory {
    fn is_right(&self, password: &str, hash: &str) -> bool {
        let mut blocks = self.pieces().pop().unwrap_or_default();
        let right = verify(password.as_bytes(), hash, &mut blocks).unwrap_or(false);
        self.pieces().push(blocks);
        right
    }

    fn pieces(&self) -> MutexGuard<'_, Vec<Vec<Block>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Octets that are kept.
    #[cfg(test)]
    fn kept(&self) -> usize {
        self.pieces().iter().map(|piece| piece.capacity() * size_of::<Block>()).sum()
    }
}

/// `None`: it is no hash that can be computed.
fn verify(password: &[u8], hash: &str, blocks: &mut Vec<Block>) -> Option<bool> {
    let hash = PasswordHash::new(hash).ok()?;
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
    let version = hash.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let (salt, expected) = (hash.salt?, hash.hash?);
    let count = params.block_count();
    if blocks.len() < count {
        blocks.resize(count, Block::default());
    }
    let mut computed = vec![0; expected.len()];
    let memory = blocks.get_mut(..count)?;
    let argon2 = Argon2::new(algorithm, version, params);
    argon2.hash_password_into_with_memory(password, &salt, &mut computed, memory).ok()?;
    Some(verify_slices_are_equal(&computed, expected.as_bytes()).is_ok())
}

/// The argon2id hash of a password, as a PHC string.
pub fn hash_password(password: &str) -> Result<String, String> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use argon2::PasswordVerifier;

    use super::*;

    #[test]
    fn right_is_what_the_library_says() {
        let memory = HashMemory::default();
        let ours = hash_password("secreto").unwrap();
        // Other costs, and an algorithm before argon2id.
        let costs = Argon2::new(
            Algorithm::Argon2i,
            Version::V0x10,
            Params::new(64, 3, 2, Some(24)).unwrap(),
        );
        let other = costs.hash_password(b"secreto").unwrap().to_string();
        for hash in [&*ours, &other, "", "$argon2id$", "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ"] {
            for password in ["secreto", "secret", ""] {
                let expected = Argon2::default().verify_password(password.as_bytes(), hash).is_ok();
                assert_eq!(memory.is_right(password, hash), expected, "{password} {hash}");
            }
        }
        assert!(memory.is_right("secreto", &ours) && memory.is_right("secreto", &other));
    }

    #[test]
    fn memory_is_kept_once_for_each_at_a_time() {
        let memory = HashMemory::default();
        let hash = hash_password("secreto").unwrap();
        for _ in 0..3 {
            std::thread::scope(|scope| {
                scope.spawn(|| memory.is_right("x", &hash));
            });
        }
        assert!((19 << 20..20 << 20).contains(&memory.kept()), "{}", memory.kept());
    }
}
