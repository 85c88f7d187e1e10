use redis::Commands as _;
use redis::streams::StreamRangeReply;

use super::{Enrolld, redis_server::RedisServer, seed::seed};

const EVENT: &str =
    r#"{"specversion":"1.0","id":"e-1","source":"/portal","type":"registration.withdrawn","subject":"reg-1"}"#;

/// The stream's entries: id and event.
fn entries(server: &RedisServer, prefix: &str) -> Vec<(String, String)> {
    let mut redis = redis::Client::open(server.url())
        .and_then(|client| client.get_connection())
        .expect("Redis answers");
    let stream: StreamRangeReply = redis.xrange_all(format!("{prefix}:intake")).expect("it is a stream");
    let entry = |entry: redis::streams::StreamId| {
        let event = entry.get("event").expect("it has an event");
        assert_eq!(entry.map.len(), 1, "and nothing else");
        (entry.id, event)
    };
    stream.ids.into_iter().map(entry).collect()
}

fn ids(entries: &[(String, String)]) -> String {
    entries.iter().flat_map(|(id, _)| [id.as_str(), "\n"]).collect()
}

#[test]
fn events_are_sent_from_a_file_and_from_standard_input() {
    let server = RedisServer::start();
    let enrolld = Enrolld::new(&format!("redis.url = \"{}\"\nredis.prefix = \"mine\"\n", server.url()));
    let pretty = EVENT.replace(',', ",\n  ");
    enrolld.write("event.json", format!("{pretty}\n"));
    let told = enrolld.run(&["intake", "send", "event.json"]).succeeds();
    let sent = entries(&server, "mine");
    assert_eq!(sent.len(), 1);
    assert_eq!((told, sent[0].1.as_str()), (ids(&sent), pretty.as_str()));

    // More than go in one pipeline, with blank lines and line ends of Windows.
    let lines: String = (0..1_203)
        .map(|i| EVENT.replace("e-1", &format!("e-{i}")) + "\r\n\n")
        .collect();
    let told = enrolld
        .run_with_input(&["intake", "send", "-"], lines.as_bytes())
        .succeeds();
    let sent = entries(&server, "mine");
    assert_eq!(told, ids(&sent[1..]));
    assert_eq!(sent.len(), 1_204);
    assert_eq!(sent[1_203].1, EVENT.replace("e-1", "e-1202"));
}

#[test]
fn nothing_is_sent_when_one_event_is_wrong() {
    let server = RedisServer::start();
    let enrolld = Enrolld::new(&format!("redis.url = \"{}\"\n", server.url()));
    let unknown = EVENT.replace("withdrawn", "withdrawm");
    let incomplete = EVENT.replace("withdrawn", "submitted");
    let giant = EVENT.replace("reg-1", &"x".repeat(70_000));
    let input = format!("{EVENT}\n\nno json\n{unknown}\n{incomplete}\n{giant}\n");
    insta::assert_snapshot!(
        enrolld
            .run_with_input(&["intake", "send", "-"], input.as_bytes())
            .fails()
    );
    assert_eq!(entries(&server, "enrolld"), []);

    let said = enrolld.run_with_input(&["intake", "send", "-"], b"\xff\xfe").fails();
    assert!(said.contains("line 1: malformed (not_utf8)"), "{said}");
    let said = enrolld.run_with_input(&["intake", "send", "-"], b"\n \n").fails();
    assert_eq!(said, "error: standard input holds no event\n");
    let said = enrolld.run(&["intake", "send", "nowhere.json"]).fails();
    assert!(
        said.starts_with("error: cannot read nowhere.json; name a file, or - for standard input"),
        "{said}"
    );
    let said = enrolld.run(&["intake", "send", "."]).fails();
    assert_eq!(said, "error: . is a folder; name a file in it\n");
}

#[test]
fn without_a_url_the_private_redis_of_the_daemon_here_is_used() {
    let enrolld = Enrolld::new("");
    let said = enrolld
        .run_with_input(&["intake", "send", "-"], EVENT.as_bytes())
        .fails();
    assert!(
        said.starts_with("error: no redis.url is set and no daemon is running here"),
        "{said}"
    );

    let mut server = RedisServer::start();
    enrolld.write("enrolld-data/redis.url", format!("{}\n", server.url()));
    enrolld
        .run_with_input(&["intake", "send", "-"], EVENT.as_bytes())
        .succeeds();
    assert_eq!(entries(&server, "enrolld").len(), 1);

    server.kill();
    let said = enrolld
        .run_with_input(&["intake", "send", "-"], EVENT.as_bytes())
        .fails();
    assert!(said.contains("redis.url may be of a daemon that is gone"), "{said}");
    assert!(said.contains("is away"), "{said}");
}

#[test]
fn what_upstream_was_not_told_of_is_not_discarded() {
    let enrolld = Enrolld::migrated("");
    seed(&enrolld);
    let said = enrolld.run(&["intake", "discard", "2"]).fails();
    assert!(said.contains("2: not announced to upstream yet"), "{said}");
    let ended = enrolld.run(&["intake", "discard", "--all"]);
    assert!(
        ended.stderr.starts_with("nothing to discard\n2 kept"),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.succeeds(), "");
    let listed = enrolld.run(&["intake", "rejected", "--output", "json"]).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
}

#[test]
fn refused_bytes_go_back_as_they_came() {
    let server = RedisServer::start();
    let enrolld = Enrolld::migrated(&format!("redis.url = \"{}\"\n", server.url()));
    seed(&enrolld);
    let told = enrolld.run(&["intake", "replay", "2", "1", "2"]).succeeds();
    let mut redis = redis::Client::open(server.url())
        .and_then(|client| client.get_connection())
        .expect("Redis answers");
    let stream: StreamRangeReply = redis.xrange_all("enrolld:intake").expect("it is a stream");
    let events: Vec<Vec<u8>> = stream.ids.iter().filter_map(|entry| entry.get("event")).collect();
    assert_eq!(events, [&b"\xff\x1b[2J"[..], b"{}"]);
    assert_eq!(told, format!("1 {}\n2 {}\n", stream.ids[0].id, stream.ids[1].id));
}
