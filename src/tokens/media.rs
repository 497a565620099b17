//! Tokens of images and PDFs, from the little of them that has to be read.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use memchr::memmem;

/// An image whose size is not known: Anthropic's figure for one of about 1.1 megapixels.
const UNKNOWN_IMAGE: u64 = 1500;
/// Pixels for a token, as Anthropic documents it.
const PIXELS_PER_TOKEN: u64 = 750;
/// Larger images are scaled down to this long edge, and then cost no more than the most.
const MAX_EDGE: u64 = 1568;
const MAX_IMAGE: u64 = 1600;
/// The start of an image in base64 in which its size is looked for: a JPEG may have much before it.
const HEAD: usize = 64 * 1024;

/// A page: its text, and the image of it that the model sees beside the text.
const PER_PAGE: u64 = 2000;
/// A PDF that is somewhere else.
pub(super) const UNKNOWN_PDF: u64 = PER_PAGE;
/// Where pages cannot be counted because they are compressed.
const BYTES_PER_PAGE: u64 = 50_000;

/// Tokens of an image in base64, or of one somewhere else.
pub(super) fn image(data: Option<&str>) -> u64 {
    let size = data.and_then(|data| imagesize::blob_size(&head(data)).ok());
    let Some((width, height)) = size.map(|size| (size.width as u64, size.height as u64)) else { return UNKNOWN_IMAGE };
    let long = width.max(height).max(1);
    let (width, height) = match long > MAX_EDGE {
        true => (width * MAX_EDGE / long, height * MAX_EDGE / long),
        false => (width, height),
    };
    (width * height).div_ceil(PIXELS_PER_TOKEN).clamp(1, MAX_IMAGE)
}

/// Tokens of a PDF in base64, by the pages that can be found in it.
pub(super) fn pdf_by_pages(data: &str) -> u64 {
    let Ok(bytes) = STANDARD.decode(data) else { return PER_PAGE };
    let is_page = |at: &usize| {
        let rest = bytes[at + b"/Type".len()..].trim_ascii_start();
        rest.starts_with(b"/Page") && rest.get(b"/Page".len()) != Some(&b's')
    };
    match memmem::find_iter(&bytes, b"/Type").filter(is_page).count() as u64 {
        0 => pdf_by_size(data),
        pages => pages * PER_PAGE,
    }
}

/// Tokens of a PDF in base64 that is not looked into.
pub(super) fn pdf_by_size(data: &str) -> u64 {
    let bytes = data.len() as u64 / 4 * 3;
    bytes.div_ceil(BYTES_PER_PAGE).max(1) * PER_PAGE
}

fn head(data: &str) -> Vec<u8> {
    // Cut at a whole group, so that what is there can be decoded.
    let cut = &data.as_bytes()[..data.len().min(HEAD) / 4 * 4];
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&base64::alphabet::STANDARD, lenient).decode(cut).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The image goes on behind its head, as real ones do.
    fn image_of(head: &[u8]) -> u64 {
        image(Some(&STANDARD.encode([head, &[0; 64]].concat())))
    }

    #[test]
    fn images_count_by_their_size() {
        let png = |width: u32, height: u32| {
            let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
            bytes.extend(width.to_be_bytes());
            bytes.extend(height.to_be_bytes());
            image_of(&bytes)
        };
        assert_eq!(png(200, 200), 54);
        assert_eq!(png(1000, 1000), 1334);
        assert_eq!(png(8000, 6000), MAX_IMAGE);
        assert_eq!(png(3136, 100), 105);
        assert_eq!(image_of(b"GIF89a\xc8\0\xc8\0"), 54);
        let jpeg = [&b"\xff\xd8\xff\xe1\x00\x06exif\xff\xc0\x00\x11\x08\x00\xc8\x00\xc8"[..], &[0; 9]].concat();
        assert_eq!(image_of(&jpeg), 54);
        assert_eq!(image_of(b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xc7\0\0\xc7\0\0"), 54);
        assert_eq!(image_of(b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\xc7\xc0\x31\0"), 54);
        assert_eq!(image_of(b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\xc8\0\xc8\0"), 54);
    }

    #[test]
    fn an_image_that_cannot_be_read_counts_as_a_common_one() {
        assert_eq!(image(None), UNKNOWN_IMAGE);
        assert_eq!(image_of(b""), UNKNOWN_IMAGE);
        assert_eq!(image_of(b"\xff\xd8\xff\xe1\xff\xff"), UNKNOWN_IMAGE);
        assert_eq!(image(Some("not base64")), UNKNOWN_IMAGE);
    }

    #[test]
    fn pdfs_count_by_their_pages_or_their_size() {
        let pdf_of = |text: &str| pdf_by_pages(&STANDARD.encode(text));
        assert_eq!(pdf_of("%PDF <</Type /Pages /Count 2>> <</Type /Page>> <</Type/Page/Parent 1>>"), 2 * PER_PAGE);
        assert_eq!(pdf_of(&"x".repeat(120_000)), 3 * PER_PAGE);
        assert_eq!(pdf_by_size(&STANDARD.encode("x".repeat(120_000))), 3 * PER_PAGE);
        assert_eq!(pdf_by_pages("not base64"), PER_PAGE);
    }
}
