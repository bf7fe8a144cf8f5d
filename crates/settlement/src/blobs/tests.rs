use super::*;
use baton_types::hex;

#[test]
fn data_of_every_size_come_back() {
    let full = USED_BYTES - LENGTH_BYTES;
    for (bytes, blobs) in [(0, 1), (1, 1), (31, 1), (full, 1), (full + 1, 2), (DATA_BYTES_MAX, BLOBS_MAX)] {
        let data: Vec<u8> = (0..bytes).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let packed = pack(&data);
        assert_eq!(packed.len(), blobs, "{bytes} bytes");
        assert!(packed.iter().all(|blob| blob.len() == BLOB_BYTES));
        assert_eq!(unpack(&packed).unwrap(), data);
    }
}

#[test]
fn blobs_that_nobody_packed_are_refused() {
    let data = vec![1; 200_000];
    let packed = pack(&data);
    assert_eq!(unpack::<Blob>(&[]), Err(BlobError::Length { blobs: 0, bytes: 0 }));
    assert!(matches!(unpack(&packed[..1]), Err(BlobError::Length { blobs: 1, bytes: 200_000 })));
    let longer = [&packed[..], &pack(&[])].concat();
    assert!(matches!(unpack(&longer), Err(BlobError::Length { blobs: 3, .. })));
    assert!(matches!(unpack(&[&packed[0][1..]]), Err(BlobError::Size { index: 0, .. })));
    let mut high = packed.clone();
    high[1][64] = 1;
    assert_eq!(unpack(&high), Err(BlobError::Element { index: 1, element: 2 }));
    let mut padded = packed;
    *padded[1].last_mut().unwrap() = 1;
    assert_eq!(unpack(&padded), Err(BlobError::Padding));
}

#[test]
fn a_blob_of_zeros_has_the_hash_that_the_standard_gives_it() {
    // The commitment to the zero polynomial is the point at infinity: c0 and 47 zeros.
    let hash = versioned_hashes(&[vec![0; BLOB_BYTES].into_boxed_slice()]);
    let expected = "0x010657f37554c781402a22917dee2f75def7ab966d7b770905398eba3c444014";
    assert_eq!(hex::encode(&hash[0]), expected);
    assert_eq!(hashes_of_any(&[vec![0; 9], vec![0xff; BLOB_BYTES]]), [None, None]);
    assert_eq!(commitment(&hash), Sha256::hash(&[&hash[0].0[..]]));
}
