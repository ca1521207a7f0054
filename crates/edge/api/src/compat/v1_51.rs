//! 1.51: the image list counts containers; before, it said -1.

use super::{Boundary, IMAGES, each};

pub(super) const BOUNDARY: Boundary = Boundary {
    responses: &[IMAGES],
    response_down: |_, body| {
        for image in each(body) {
            image.insert("Containers".into(), (-1).into());
        }
    },
    ..Boundary::new(51)
};
