use std::fs;

use mesh_agents::source::{Shelf as _, SourceError, address_of};
use mesh_tools::FolderShelf;

fn file_of(root: &std::path::Path, address: &str) -> std::path::PathBuf {
    root.join(&address[..2]).join(&address[2..4]).join(address)
}

#[tokio::test]
async fn a_text_comes_back_by_its_address_also_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = FolderShelf::open(folder.path().join("new/shelf")).unwrap();
    let address = shelf.put("Grüße\n").await.unwrap();
    assert_eq!(address, address_of("Grüße\n"));
    assert_eq!(&*shelf.get(&address).await.unwrap(), "Grüße\n");
    let again = FolderShelf::open(folder.path().join("new/shelf")).unwrap();
    assert_eq!(&*again.get(&address).await.unwrap(), "Grüße\n");
    let empty = again.put("").await.unwrap();
    assert_eq!(&*again.get(&empty).await.unwrap(), "");
}

#[tokio::test]
async fn the_same_text_is_one_file_that_is_not_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = FolderShelf::open(folder.path()).unwrap();
    let address = shelf.put("text").await.unwrap();
    let written = fs::metadata(file_of(folder.path(), &address)).unwrap().modified().unwrap();
    let all = futures::future::join_all((0..8).map(|_| shelf.put("text"))).await;
    assert!(all.into_iter().all(|put| put.unwrap() == address));
    let now = fs::metadata(file_of(folder.path(), &address)).unwrap().modified().unwrap();
    assert_eq!(written, now);
    assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_damaged_text_is_not_served_and_storing_it_again_repairs_it() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = FolderShelf::open(folder.path()).unwrap();
    let address = shelf.put("the whole text").await.unwrap();
    for damage in [b"the whole".as_slice(), b"", b"\xff\xff", b"the whole text and more"] {
        fs::write(file_of(folder.path(), &address), damage).unwrap();
        match shelf.get(&address).await {
            Err(SourceError::Unreadable { reason }) => {
                assert!(reason.contains("damaged"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(shelf.put("the whole text").await.unwrap(), address);
    assert_eq!(&*shelf.get(&address).await.unwrap(), "the whole text");
}

#[tokio::test]
async fn missing_and_impossible_addresses_are_unreadable() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = FolderShelf::open(folder.path()).unwrap();
    let missing = address_of("never stored");
    let upper = missing.to_uppercase();
    for address in [missing.as_str(), upper.as_str(), "", "../../etc/passwd", "ü", &missing[1..]] {
        let result = shelf.get(address).await;
        assert!(matches!(result, Err(SourceError::Unreadable { .. })), "{address}: {result:?}");
    }
}

#[tokio::test]
async fn many_writers_share_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let shelves: Vec<FolderShelf> =
        (0..4).map(|_| FolderShelf::open(folder.path()).unwrap()).collect();
    let texts: Vec<String> = (0..40).map(|number| format!("text {}", number % 10)).collect();
    let puts = texts.iter().enumerate().map(|(index, text)| shelves[index % 4].put(text));
    let addresses = futures::future::join_all(puts).await;
    for (text, address) in texts.iter().zip(addresses) {
        assert_eq!(&*shelves[0].get(&address.unwrap()).await.unwrap(), text.as_str());
    }
}

#[test]
fn a_place_that_cannot_be_a_folder_is_an_error_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    match FolderShelf::open(&file) {
        Err(SourceError::Unreachable { reason }) => assert!(reason.contains("file"), "{reason}"),
        other => panic!("{other:?}"),
    }
}
