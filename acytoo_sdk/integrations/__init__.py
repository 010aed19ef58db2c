"""What connects the package to frameworks and engines: a file or a folder each, imported only when asked for.

    llm             `acytoo_sdk.integrations.llm`, extra [llm]: `acytoo config set base_url URL`, then
                    `llm -m acytoo 'Hi'` and `llm chat -m acytoo`
    LangChain       `ChatAcytoo` of `acytoo_sdk.integrations.langchain`, extra [langchain]: text, no tools
    OpenTelemetry   `AcytooInstrumentor` of `acytoo_sdk.integrations.opentelemetry`, extra [otel]; or start your
                    program by `opentelemetry-instrument`. Spans and metrics, without any content
    Ray             `RayExecutor` of `acytoo_sdk.integrations.ray`, extra [ray]: an executor for `Client.map`
    Dask, loky      have executors of their own: see `acytoo_sdk.batch`; extra [dask]
    Jupyter         `%%acytoo`, and streams that show themselves: see `acytoo_sdk.notebook`, extra [notebook]
    g4f             a provider class: see `acytoo_sdk.provider`
    Ollama          and other servers that speak OpenAI's API: `acytoo serve --upstream URL`, extra [serve], makes them
                    speak to this client

An extra is installed by its name, as in `pip install 'acytoo-sdk[llm]'`.

What takes no more than ten lines needs no file, and stands here as a recipe: FastAPI (whose `StreamingResponse` is that
of Starlette), Flask, Gradio, Streamlit, Textual, LiteLLM, LlamaIndex, pandas and tqdm. `ACYTOO_BASE_URL` names the
server to the clients of the recipes, and `ACYTOO_KEY` the key.

FastAPI: a reply is passed on as it comes; a refusal becomes a status, and a reply that breaks breaks there, too.

    from contextlib import asynccontextmanager

    from fastapi import FastAPI, Request
    from fastapi.responses import PlainTextResponse, StreamingResponse

    from acytoo_sdk import AcytooError, AsyncClient, InvalidRequestError, RateLimitError

    @asynccontextmanager
    async def lifespan(app):
        async with AsyncClient() as client:
            yield {"client": client}

    async def refuse(request, error):
        return PlainTextResponse(str(error), {InvalidRequestError: 422, RateLimitError: 429}.get(type(error), 502))

    app = FastAPI(lifespan=lifespan, exception_handlers={AcytooError: refuse})

    @app.post("/ask")
    async def ask(request: Request, messages: list[dict[str, str]]):
        return StreamingResponse(await request.state.client.stream(messages).start(), media_type="text/plain")

Flask: the same, blocking; that a client has left is noticed at the next piece.

    from flask import Flask, Response, request

    from acytoo_sdk import AcytooError, Client, InvalidRequestError, RateLimitError

    client = Client()
    app = Flask(__name__)

    @app.errorhandler(AcytooError)
    def refuse(error):
        status = {InvalidRequestError: 422, RateLimitError: 429}.get(type(error), 502)
        return Response(str(error), status, mimetype="text/plain")

    @app.post("/ask")
    def ask():
        return Response(client.stream(request.json).start(), mimetype="text/plain")

Gradio: a chat; its stop button closes the connection, and what a broken reply had said stays in its history.

    import gradio as gr

    from acytoo_sdk import AsyncClient

    client = AsyncClient()

    def text_of(content):
        return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)

    async def reply(message, history):
        messages = [{"role": turn["role"], "content": text_of(turn["content"])} for turn in history]
        async for _ in (stream := client.stream([*messages, {"role": "user", "content": message}])):
            yield stream.text

    gr.ChatInterface(reply).launch(show_error=True)

Streamlit: a chat; a reply that broke is shown as far as it came, and does not enter the conversation.

    import streamlit as st

    from acytoo_sdk import AcytooError, Client

    if "conversation" not in st.session_state:
        st.session_state.conversation = st.cache_resource(Client)().conversation()
    for message in st.session_state.conversation.messages:
        st.chat_message(message["role"]).markdown(message["content"])
    if question := st.chat_input():
        st.chat_message("user").markdown(question)
        try:
            st.chat_message("assistant").write_stream(st.session_state.conversation.send(question))
        except AcytooError as error:
            st.error(str(error))

An `AsyncStream` is handed to `st.write_stream` as `(piece async for piece in stream)`.

Textual: a chat in the terminal; a new question ends the reply to the one before.

    from textual import work
    from textual.app import App
    from textual.widgets import Input, Markdown

    from acytoo_sdk import AcytooError, AsyncClient

    conversation = AsyncClient().conversation()

    class Chat(App):
        compose = lambda self: (Input(), Markdown())

        @work(exclusive=True)
        async def on_input_submitted(self, event):
            try:
                async for _ in (stream := conversation.send(event.value)):
                    await self.query_one(Markdown).update(stream.text)
            except AcytooError as error:
                self.notify(str(error), severity="error", markup=False)

LiteLLM: `litellm.completion("acytoo/NAME", ...)` and `stream=True`; errors come out as its own, with their statuses.

    import litellm

    from acytoo_sdk import Client

    client = Client()

    class Acytoo(litellm.CustomLLM):
        def completion(self, model, messages, model_response, **_):
            model_response.choices[0].message.content = client.complete(messages, model=model)
            return model_response

        def streaming(self, model, messages, **_):
            for piece in client.stream(messages, model=model):
                yield {"text": piece, "is_finished": False, "finish_reason": "", "index": 0, "usage": None}

    litellm.custom_provider_map = [{"provider": "acytoo", "custom_handler": Acytoo()}]

LiteLLM: the same for `acompletion`, and for its proxy.

    import litellm

    from acytoo_sdk import AsyncClient

    client = AsyncClient()

    class Acytoo(litellm.CustomLLM):
        async def acompletion(self, model, messages, model_response, **_):
            model_response.choices[0].message.content = await client.complete(messages, model=model)
            return model_response

        async def astreaming(self, model, messages, **_):
            async for piece in client.stream(messages, model=model):
                yield {"text": piece, "is_finished": False, "finish_reason": "", "index": 0, "usage": None}

    litellm.custom_provider_map = [{"provider": "acytoo", "custom_handler": Acytoo()}]

LlamaIndex: a model for its engines, which is sent the messages of a chat as they are; its async methods block.

    from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata

    from acytoo_sdk import Client

    client = Client()

    class Acytoo(CustomLLM):
        metadata = property(lambda self: LLMMetadata(model_name=client.options.model, is_chat_model=True))

        def complete(self, prompt, formatted=False, **_):
            return CompletionResponse(text=client.complete(prompt))

        def stream_complete(self, prompt, formatted=False, **_):
            for piece in (stream := client.stream(prompt)):
                yield CompletionResponse(text=stream.text, delta=piece)

    llm = Acytoo(messages_to_prompt=lambda chat: [{"role": m.role.value, "content": m.content} for m in chat])

pandas: a column of answers, and one of errors; what was answered is not asked again by the next run.

    import pandas as pd

    from acytoo_sdk import Client

    frame = pd.read_csv("questions.csv")
    with Client() as client:
        results = list(client.map(frame["question"], journal="answers.jsonl"))
    frame["answer"] = [result.text for result in results]
    frame["error"] = [result.error for result in results]

tqdm: a bar that knows the length, where the prompts do.

    from pathlib import Path

    from tqdm import tqdm

    from acytoo_sdk import Client

    with Client() as client:
        for result in tqdm(client.map(Path("prompts.txt").read_text("utf-8").splitlines())):
            tqdm.write(result.text or str(result.error))
"""
