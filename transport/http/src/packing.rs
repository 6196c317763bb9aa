//! Bodies of requests, packed for servers that say that they unpack them: how hard, the line decides.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

/// The one way of packing.
pub(crate) const GZIP: &str = "gzip";

/// A body of less fits into a few packets anyway.
const LEAST: usize = 4 * 1024;

/// What says something of the line: less is there and back in no time on most.
const TELLING: usize = 16 * 1024;
/// A line on which a batch takes no longer is a quick one, whatever time of that is the server's.
const QUICK: Duration = Duration::from_millis(250);
/// The same for a server on this machine: a busy one has no line to wait for.
const QUICK_HERE: Duration = Duration::from_secs(1);

/// How hard a body is packed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Effort {
    /// As small as it gets at a fair price.
    #[default]
    Usual,
    /// With little work. The packed body says so, and a server may answer in kind.
    Little,
    /// Not at all: the bytes stay on this machine.
    None,
}

impl Effort {
    /// The effort for the next batch, where the last one of this many bytes took so long. A slow line may lead away from this machine, too, as
    /// a tunnel does.
    pub(crate) fn after(self, bytes: usize, time: Duration, here: bool) -> Self {
        if time > if here { QUICK_HERE } else { QUICK } {
            Self::Usual
        } else if bytes < TELLING {
            self
        } else if here {
            Self::None
        } else {
            Self::Little
        }
    }
}

/// The body, packed; `None` where it is small, or is to stay as it is.
pub(crate) fn packed(body: &str, effort: Effort) -> Option<Vec<u8>> {
    let level = match effort {
        Effort::Usual => Compression::default(),
        Effort::Little => Compression::fast(),
        Effort::None => return None,
    };
    if body.len() < LEAST {
        return None;
    }
    let mut packer = GzEncoder::new(Vec::with_capacity(body.len() / 3), level);
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
        let body = "é1,".repeat(LEAST);
        for effort in [Effort::Usual, Effort::Little] {
            assert_eq!(packed(&"x".repeat(LEAST - 1), effort), None);
            let small = packed(&body, effort).unwrap();
            assert!(small.len() < body.len() / 10);
            let mut back = String::new();
            GzDecoder::new(&*small).read_to_string(&mut back).unwrap();
            assert_eq!(back, body);
        }
        assert_eq!(packed(&body, Effort::None), None);
    }

    #[test]
    fn the_line_decides_how_hard_is_packed() {
        use Effort::{Little, None, Usual};
        let (quick, slow) = (QUICK, QUICK + Duration::from_millis(1));
        let slow_here = QUICK_HERE + Duration::from_millis(1);
        for (before, bytes, time, here, next) in [
            (Usual, TELLING, quick, false, Little),
            (Usual, TELLING, QUICK_HERE, true, None),
            (Usual, TELLING - 1, quick, true, Usual),
            (Little, TELLING - 1, quick, false, Little),
            (Little, TELLING, slow, false, Usual),
            // A tunnel.
            (None, TELLING, slow_here, true, Usual),
            (None, 1, slow_here, true, Usual),
        ] {
            assert_eq!(before.after(bytes, time, here), next, "{before:?} {bytes}");
        }
    }
}
