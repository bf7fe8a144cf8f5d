//! Rules of the repository that no compiler checks. Each rule is a function from files to problems;
//! a problem is one line that starts with the file it is in.

mod docs;
mod packages;
mod source;

use eyre::{Result, WrapErr as _};
use std::{collections::BTreeMap, fs, path::Path};

/// Text files by their path from the root, with `/` between the parts.
pub type Files = BTreeMap<String, String>;

/// Directories that hold nothing of ours.
const SKIPPED: [&str; 5] = [".git", "target", "node_modules", "devnet", "dist"];

const TEXT: [&str; 13] =
    ["rs", "md", "toml", "json", "yml", "yaml", "sh", "sol", "ts", "tsx", "mjs", "css", "html"];

pub fn problems(root: &Path) -> Result<Vec<String>> {
    let mut files = Files::new();
    read(root, "", &mut files)?;
    let mut problems = packages::problems(&files);
    problems.extend(source::problems(&files));
    problems.extend(docs::problems(root, &files));
    problems.sort();
    Ok(problems)
}

fn read(root: &Path, under: &str, files: &mut Files) -> Result<()> {
    let directory = root.join(under);
    let entries = fs::read_dir(&directory).wrap_err_with(|| format!("listing {}", directory.display()))?;
    for entry in entries {
        let entry = entry.wrap_err_with(|| format!("listing {}", directory.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if under.is_empty() { name.clone() } else { format!("{under}/{name}") };
        let kind = entry.file_type().wrap_err_with(|| format!("looking at {path}"))?;
        if kind.is_dir() {
            if !SKIPPED.contains(&&name[..]) {
                read(root, &path, files)?;
            }
        } else if is_text(&path) {
            let text = fs::read_to_string(root.join(&path)).wrap_err_with(|| format!("reading {path}"))?;
            files.insert(path, text);
        }
    }
    Ok(())
}

fn is_text(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.') {
        Some((_, extension)) => TEXT.contains(&extension),
        None => name.starts_with("LICENSE") || path == ".ci/run",
    }
}

#[cfg(test)]
mod tests;
