//! Which cryptography TLS stands on.

/// Says so to rustls, which has two providers compiled in (sqlx brings one, the others share another), and where it is not told
/// panics rather than to choose. Whoever opens a connection that may be under TLS calls this before.
pub(crate) fn choose_provider() {
    // An error says that it was told before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
