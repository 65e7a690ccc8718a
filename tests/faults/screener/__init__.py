"""What the fault campaigns share: the real binary on a state directory, clients of it, writers, and notes of what it
answered, to be compared with what it says later. Python's standard library alone.

    campaign    command line, time limit, the line that is printed at the end
    server      the binary: init, serve, other verbs, its log
    api         the admin API over one connection, uploads in pieces included
    viewer      tokens, and what an embed plays
    notes       what was answered, and what may have happened besides
    comparison  a server that was started again, compared with the notes
    library     the organization, keys and videos that every campaign begins with
    writers     threads that change things and note the answers
    disk        an ext4 image behind a loop device
    journal     the frames of a journal, to grow or damage one

Damaged state directories: `original` makes whole ones, `damages` and `harm` damage them, `judge` and `second` say how it
ended, `assets` looks at what is served, `sabotage` is what they must catch. Backups: `history` writes at a steady rate,
`backups` makes and restores them. Clocks: `wall_clock` sets one, `site` is a server under it, `jumps` what is looked at.
Large libraries: `population` makes one. Long runs: `everyday` is the load. `process` says what a server takes.
"""
