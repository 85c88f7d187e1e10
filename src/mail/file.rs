//! Letters as files, for the demo, for tests, and where another program does the sending.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use tokio::{fs, io::AsyncWriteExt};

use super::{
    mailer::SendError,
    message::{Encoded, Letter},
};

/// Sets apart the temporary files of letters being written at the same time.
static WRITES: AtomicU64 = AtomicU64::new(0);

/// A folder of `.eml` files.
#[derive(Debug)]
pub(super) struct MailFolder {
    dir: PathBuf,
}

impl MailFolder {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Writes the letter whole or not at all. Names sort by date; the same letter has the same name, and replaces
    /// itself.
    pub(super) async fn write(&self, letter: &Letter, message: &Encoded) -> Result<(), SendError> {
        let name = format!("{}-{}.eml", letter.date.format("%Y%m%dT%H%M%S%.3fZ"), letter.id);
        let write = WRITES.fetch_add(1, Ordering::Relaxed);
        let temporary = self
            .dir
            .join(format!(".{}.{}.{write}.tmp", letter.id, std::process::id()));
        let written = self
            .write_then_rename(&temporary, &self.dir.join(name), &message.bytes)
            .await;
        if written.is_err() {
            // Most likely the file is not there either; the error that matters is the first one.
            let _ = fs::remove_file(&temporary).await;
        }
        written.map_err(|error| {
            SendError::unavailable(format!(
                "writing into the folder {} failed: {error}; check `mail.file.dir` and its rights",
                self.dir.display()
            ))
        })
    }

    async fn write_then_rename(&self, temporary: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // Letters hold links that are credentials: nobody else may read them.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .await?;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(temporary)
            .await?;
        file.write_all(bytes).await?;
        file.flush().await?;
        drop(file);
        fs::rename(temporary, path).await
    }
}
