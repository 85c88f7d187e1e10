//! stub
#![allow(clippy::print_stderr)]
use enrolld::settings::*; use std::path::Path;
#[tokio::main] async fn main() -> anyhow::Result<()> {
 tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter("info").init();
 let a: Vec<String> = std::env::args().collect();
 let cfg = a.iter().position(|x| x=="--config").map(|i| a[i+1].clone());
 let s = Settings::load(cfg.as_deref().map(Path::new), environment())?;
 match a[1].as_str() {
  "run" => enrolld::daemon::run(s).await,
  "migrate" => { let st = enrolld::store::Store::open(&s.database.url.connect_url(), 2).await?; st.migrate().await?; Ok(()) }
  "directory" => { let st = enrolld::store::Store::open(&s.database.url.connect_url(), 2).await?; let r = enrolld::directory::import(st.writer(), Path::new(&a[3]), enrolld::environment::Environment::now(&enrolld::environment::System)).await?; eprintln!("{r:?}"); Ok(()) }
  _ => anyhow::bail!("?") } }
