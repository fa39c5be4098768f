import pytest

import peers


@pytest.fixture(scope="session")
def tool(tmp_path_factory):
    import torch
    from caption_tool import Tool
    torch.set_num_threads(1)
    tool = Tool(tmp_path_factory.mktemp("jobs"))
    yield tool
    tool.close()


@pytest.fixture(scope="session")
def gpt2_tokenizer():
    return peers.gpt2(vocab_size=400)


@pytest.fixture(scope="session")
def bert_tokenizer():
    tokenizer = peers.bert()
    tokenizer.add_special_tokens(["[DEC]", "[ENC]"])
    return tokenizer
