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
"""
