//! `enrolld intake send`.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal as _, Read};
use std::path::Path;

use anyhow::{Context as _, bail};
use enrolld_jobs::cloud_event;
use serde::de::IgnoredAny;

use crate::{
    cli::{output, refusals},
    private_redis,
    queue::Redis,
    settings::Settings,
};

/// Most bytes read: all is checked before anything is sent, so all is in memory.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Events in one pipeline.
const CHUNK: usize = 500;

/// Wrong events that are told one by one.
const SHOWN: usize = 20;

/// An event, and the line on which it starts.
type Line<'a> = (usize, &'a [u8]);

pub(super) async fn run(file: &Path, settings: &Settings) -> anyhow::Result<()> {
    let text = read(file)?;
    let events = events(&text);
    if events.is_empty() {
        bail!("{} holds no event", name(file));
    }
    check(file, &events)?;
    let (redis, remedy) = redis(settings)?;
    let stream = format!("{}:intake", settings.redis.prefix);
    let mut sent = 0;
    for chunk in events.chunks(CHUNK) {
        let mut pipeline = redis::Pipeline::with_capacity(chunk.len());
        for (_, event) in chunk {
            pipeline.cmd("XADD").arg(&stream).arg("*").arg("event").arg(*event);
        }
        let ids: Vec<String> = redis.pipeline(&pipeline).await.with_context(|| {
            let all = events.len();
            match sent {
                0 => format!("no event was sent{remedy}"),
                _ => format!(
                    "at least {sent} of {all} events were sent; sending all again is safe: none is applied twice"
                ),
            }
        })?;
        sent += ids.len();
        output::text(&ids.join("\n"))?;
    }
    Ok(())
}

fn name(file: &Path) -> String {
    if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let input: Box<dyn Read> = if file == Path::new("-") {
        if io::stdin().is_terminal() {
            output::remark("reading events from the terminal; end them with Ctrl-D on a line of its own");
        }
        Box::new(io::stdin().lock())
    } else {
        let opened = File::open(file);
        Box::new(opened.with_context(|| format!("cannot read {}; name a file, or - for standard input", name(file)))?)
    };
    let mut text = Vec::new();
    let reading = input.take(MAX_BYTES + 1).read_to_end(&mut text);
    reading.map_err(|error| match error.kind() {
        ErrorKind::IsADirectory => anyhow::anyhow!("{} is a folder; name a file in it", name(file)),
        _ => anyhow::Error::new(error).context(format!("cannot read {}", name(file))),
    })?;
    if text.len() as u64 > MAX_BYTES {
        bail!(
            "{} is larger than {} MiB; send it in parts",
            name(file),
            MAX_BYTES / 1024 / 1024
        );
    }
    Ok(text)
}

/// One event, however many lines it takes; or one a line.
fn events(text: &[u8]) -> Vec<Line<'_>> {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let filled = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).zip(1..);
    let lines: Vec<Line<'_>> = filled
        .filter(|(line, _)| !line.is_empty())
        .map(|(line, at)| (at, line))
        .collect();
    match lines.first() {
        // The first line is only the start of something: of one event, whole or broken.
        Some(&(at, first)) if lines.len() > 1 && is_begun(first) => vec![(at, text.trim_ascii())],
        _ => lines,
    }
}

fn is_begun(line: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(line).is_err_and(|error| error.is_eof())
}

fn check(file: &Path, events: &[Line<'_>]) -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    let mut count = 0_usize;
    for &(line, event) in events {
        if let Err(refusal) = cloud_event::parse(event) {
            count += 1;
            if wrong.len() < SHOWN {
                wrong.push(format!(
                    "\n  line {line}: {}",
                    refusals::told(refusal.reason.as_str(), &refusal.detail)
                ));
            }
        }
    }
    if count == 0 {
        return Ok(());
    }
    if count > SHOWN {
        wrong.push(format!("\n  … and {} more", count - SHOWN));
    }
    let all = events.len();
    bail!(
        "nothing was sent: {count} of {all} events in {} would be refused{}",
        name(file),
        wrong.concat()
    );
}

/// Redis, and what to add to an error when it is away.
pub(in crate::cli) fn redis(settings: &Settings) -> anyhow::Result<(Redis, String)> {
    if let Some(redis) = Redis::of(&settings.redis)? {
        return Ok((redis, String::new()));
    }
    let file = private_redis::url_file(&settings.data_dir);
    match std::fs::read_to_string(&file) {
        Ok(url) => {
            let remedy = format!(
                "; no redis.url is set, and {} may be of a daemon that is gone",
                file.display()
            );
            Ok((
                Redis::open(url.trim()).with_context(|| format!("{} is broken", file.display()))?,
                remedy,
            ))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "no redis.url is set and no daemon is running here (there is no {}); start one with `enrolld run`, or name the \
             settings of the one that runs with --config",
            file.display()
        ),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<(usize, String)> {
        let events = events(text.as_bytes());
        events
            .into_iter()
            .map(|(line, event)| (line, String::from_utf8_lossy(event).into_owned()))
            .collect()
    }

    #[test]
    fn one_event_or_one_a_line() {
        let line = |at: usize, text: &str| (at, text.to_owned());
        assert_eq!(split(""), []);
        assert_eq!(split(" \n\n"), []);
        assert_eq!(split("{\"a\":1}"), [line(1, "{\"a\":1}")]);
        assert_eq!(split("\u{feff}{}\r\n\r\n{}\r\n"), [line(1, "{}"), line(3, "{}")]);
        assert_eq!(split("\n{\n\"a\":1\n}\n"), [line(2, "{\n\"a\":1\n}")]);
        assert_eq!(split("{}\nno\n"), [line(1, "{}"), line(2, "no")]);
    }
}
