"""A page of HTML, read as a browser would."""

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "path", "use"}


class Reader(HTMLParser):
    """What a page refers to, its ids, its text, and whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.open, self.tags, self.text = [], [], [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "action", "data"):
                self.links.append(value)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
