//! Imports into a real store.

use cidra_content::unixfs::{self, DirectoryImporter, Metadata, Parameters};

use super::*;
use crate::store::Options;

#[tokio::test]
async fn a_folder_gets_the_cid_that_kubo_gives_it() {
    let (kept, mut import) = begin(options(Parameters::V0_2015)).await;

    import.entry(b"dir", Entry::Directory).await.unwrap();
    import.entry(b"dir/hello.txt", Entry::File).await.unwrap();
    import.data(Bytes::from_static(b"hello ")).await.unwrap();
    import.data(Bytes::from_static(b"world")).await.unwrap();
    let added = import.finish().await.unwrap();

    // `ipfs add --cid-version=0 -r dir`
    assert_eq!(
        lines(&added),
        [
            "dir/hello.txt Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD",
            "dir QmNxvA5bwvPGgMXbmtyhxA1cKFdvQXnsGnZLCGor3AzYxJ",
        ]
    );
    assert_eq!(kept.store.roots(RootKind::Pin).await.unwrap()[0].name.as_deref(), Some("dir"));
}

#[tokio::test]
async fn an_empty_file_and_an_empty_folder_are_the_known_ones() {
    let (_kept, mut import) = begin(options(Parameters::V1_2025)).await;
    import.entry(b"empty", Entry::File).await.unwrap();
    import.entry(b"folder", Entry::Directory).await.unwrap();

    let added = import.finish().await.unwrap();

    assert_eq!(
        lines(&added),
        [
            "empty bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
            "folder bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354",
        ]
    );
}

#[tokio::test]
async fn how_the_bytes_are_cut_on_the_way_does_not_matter() {
    let data = Bytes::from((0..5_000_000u32).map(|place| (place * 7 + place / 1021) as u8).collect::<Vec<_>>());
    let mut roots = vec![];
    for piece in [5_000_000, 1 << 20, 65_536, 777_777] {
        let (_kept, mut import) = begin(options(Parameters::V1_2025)).await;
        import.entry(b"file", Entry::File).await.unwrap();
        for place in (0..data.len()).step_by(piece) {
            import.data(data.slice(place..data.len().min(place + piece))).await.unwrap();
        }
        roots.push(import.finish().await.unwrap().pop().unwrap());
    }

    assert!(roots.iter().all(|root| *root == roots[0]), "{roots:?}");
    assert_eq!(roots[0].size, 5_000_000);
}

#[tokio::test]
async fn many_files_in_nested_folders_are_all_there() {
    let (kept, mut import) =
        begin(ImportOptions { wrap: Some(Metadata::default()), ..options(Parameters::V1_2025) }).await;
    for folder in 0..10 {
        import.entry(format!("{folder}").as_bytes(), Entry::Directory).await.unwrap();
        for file in 0..30 {
            import.entry(format!("{folder}/{file:02}").as_bytes(), Entry::File).await.unwrap();
            import.data(format!("{folder} {file}").into()).await.unwrap();
        }
        import.entry(format!("{folder}/link").as_bytes(), Entry::Symlink(b"00".to_vec())).await.unwrap();
    }

    let added = import.finish().await.unwrap();

    assert_eq!(added.len(), 10 * 32 + 1);
    let root = added.last().unwrap();
    assert!(root.path.is_empty() && root.is_root);
    for added in &added {
        assert!(kept.store.block(&added.cid).await.unwrap().is_some(), "{}", String::from_utf8_lossy(&added.path));
    }
    assert!(kept.store.is_complete(root.cid).await.unwrap());
    assert_eq!(kept.store.roots(RootKind::Pin).await.unwrap().len(), 1, "only what wraps the others is pinned");
}

#[tokio::test]
async fn a_folder_whose_list_goes_to_a_file_is_the_same() {
    let parameters = Parameters::V1_2025;
    let (_kept, mut import) = begin(ImportOptions { only_hash: true, ..options(parameters) }).await;
    import.entry(b"d", Entry::Directory).await.unwrap();
    let mut importer = DirectoryImporter::new(parameters);
    for number in 0..20_000 {
        let name = format!("{number}{}", "long ".repeat(50));
        import.entry(format!("d/{name}").as_bytes(), Entry::Symlink(b"x".to_vec())).await.unwrap();
        let link = unixfs::symlink(b"x", Metadata::default(), &parameters);
        importer.add(name.as_bytes(), *link.cid(), link.data().len() as u64).unwrap();
    }
    assert!(import.runs[&1].len() > 4, "{:?}", import.runs);

    let root = import.finish().await.unwrap().pop().unwrap();

    let (_, expected) = importer.finish().unwrap();
    assert_eq!((root.cid, root.tsize), (expected.cid, expected.tsize));
}

#[tokio::test]
async fn only_hash_keeps_nothing() {
    let (kept, mut import) = begin(ImportOptions { only_hash: true, ..options(Parameters::V1_2025) }).await;
    import.entry(b"file", Entry::File).await.unwrap();
    import.data(Bytes::from_static(b"hello world")).await.unwrap();

    let added = import.finish().await.unwrap();

    assert_eq!(lines(&added), ["file bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"]);
    assert_eq!(kept.store.locate(vec![added[0].cid]).await.unwrap(), [None]);
    assert!(kept.store.roots(RootKind::Pin).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_file_in_place_has_the_cid_of_its_copy_and_only_its_nodes_are_stored() {
    let folder = tempfile::tempdir().unwrap();
    let data: Vec<u8> = (0..5_000_000u32).map(|place| (place * 7 + place / 1021) as u8).collect();
    let path = folder.path().join("film");
    std::fs::write(&path, &data).unwrap();
    std::fs::write(folder.path().join("empty"), "").unwrap();
    for parameters in [Parameters::V1_2025, Parameters::V0_2015] {
        let (_copied, mut import) = begin(options(parameters)).await;
        import.entry(b"dir", Entry::Directory).await.unwrap();
        import.entry(b"dir/film", Entry::File).await.unwrap();
        import.data(data.clone().into()).await.unwrap();
        import.entry(b"dir/empty", Entry::File).await.unwrap();
        let copied = import.finish().await.unwrap();

        let (kept, mut import) = begin(options(parameters)).await;
        import.entry(b"dir", Entry::Directory).await.unwrap();
        for name in ["film", "empty"] {
            import
                .refer(format!("dir/{name}").as_bytes(), folder.path().join(name), Metadata::default())
                .await
                .unwrap();
            while import.read().await.unwrap().is_some() {}
        }
        assert_eq!(import.finish().await.unwrap(), copied);
        let stat = kept.store.stat().await.unwrap();
        assert!(stat.bytes > 5_000_000 && stat.disk_bytes < 5_000, "{stat:?}");
        let root = copied.last().unwrap().cid;
        assert!(kept.store.is_complete(root).await.unwrap());

        std::fs::write(&path, "edited").unwrap();
        let lost = kept.store.list(None, 100).await.unwrap();
        for (hash, _) in lost {
            kept.store.load(&Cid::new_v1(0x55, hash)).await.unwrap();
        }
        // The writer forgets it by and by.
        kept.store.commit().await.unwrap();
        assert!(!kept.store.is_complete(root).await.unwrap());
        std::fs::write(&path, &data).unwrap();
    }
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_in_place_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("film");
    std::fs::write(&path, vec![1; 3_000_000]).unwrap();
    let (_kept, mut import) = begin(options(Parameters::V1_2025)).await;
    import.refer(b"film", path.clone(), Metadata::default()).await.unwrap();
    import.read().await.unwrap();
    std::fs::write(&path, vec![2; 3_000_000]).unwrap();

    let error = loop {
        match import.read().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it was not noticed"),
            Err(error) => break error,
        }
    };

    assert!(error.to_string().contains("film changed while it was read"), "{error}");
}

#[tokio::test]
async fn paths_that_make_no_tree_are_refused() {
    for paths in [&["a/b"][..], &["a", "b/c"], &["../x"], &["/x"], &["a", "a/../b"], &["a", "a//b"], &[""], &["a\0b"]] {
        let (_kept, mut import) = begin(options(Parameters::V1_2025)).await;
        let mut result = Ok(());
        for path in paths {
            result = result.and(import.entry(path.as_bytes(), Entry::Directory).await);
        }
        assert!(result.is_err(), "{paths:?}");
    }
    let (_kept, mut import) = begin(options(Parameters::V1_2025)).await;
    assert!(import.data(Bytes::from_static(b"x")).await.is_err());
}

#[tokio::test]
async fn a_name_twice_in_a_folder_is_refused() {
    let (_kept, mut import) = begin(options(Parameters::V1_2025)).await;
    import.entry(b"a", Entry::Directory).await.unwrap();
    import.entry(b"a/x", Entry::Directory).await.unwrap();
    import.entry(b"a/x", Entry::Directory).await.unwrap();

    let error = import.finish().await.unwrap_err();

    assert!(error.to_string().contains("a/x"), "{error}");
}

fn options(parameters: Parameters) -> ImportOptions {
    ImportOptions {
        parameters,
        only_hash: false,
        pin: Pin::Yes { name: None },
        wrap: None,
        empty_folders: true,
        revisits: false,
    }
}

/// A store, whose folder goes with it.
struct Kept {
    store: Store,
    _folder: tempfile::TempDir,
}

async fn begin(options: ImportOptions) -> (Kept, Import) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Options::default()).unwrap();
    let import = Import::new(store.clone(), Pool::new(1).unwrap(), options).await.unwrap();
    (Kept { store, _folder: folder }, import)
}

fn lines(added: &[Added]) -> Vec<String> {
    added.iter().map(|added| format!("{} {}", String::from_utf8_lossy(&added.path), added.cid)).collect()
}
