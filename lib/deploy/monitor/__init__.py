"""The watching, rendered: who is asked, what is due when, who is told. Nothing here touches a host."""
