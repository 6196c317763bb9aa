//! Bodies of requests, packed for servers that say that they unpack them.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// The one way of packing.
pub(crate) const GZIP: &str = "gzip";

/// A body of less fits into a few packets anyway.
const LEAST: usize = 4 * 1024;

/// The body, packed; `None` where it is small.
pub(crate) fn packed(body: &str) -> Option<Vec<u8>> {
    if body.len() < LEAST {
        return None;
    }
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(body.as_bytes()).ok()?;
    packer.finish().ok()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn large_bodies_become_smaller() {
        assert_eq!(packed(&"x".repeat(LEAST - 1)), None);
        let body = "é1,".repeat(LEAST);
        let small = packed(&body).unwrap();
        assert!(small.len() < body.len() / 10);
        let mut back = String::new();
        GzDecoder::new(&*small).read_to_string(&mut back).unwrap();
        assert_eq!(back, body);
    }
}
